# Makes damaged and unusual files for tests/strangers.sh: `perl craft.pl VERB ARGUMENTS`. perl is part of every Debian.
use strict;
use warnings;

sub slurp { my ($path) = @_; open(my $f, '<:raw', $path) or die "$path: $!\n"; local $/; return <$f>; }
sub spill { my ($path, $data) = @_; open(my $f, '>:raw', $path) or die "$path: $!\n"; print $f $data; close $f; }

# A safetensors file as header text and data.
sub weights {
    my $file = slurp($_[0]);
    my $size = unpack('Q<', $file);
    return (substr($file, 8, $size), substr($file, 8 + $size));
}
# Written with the digest that it then needs: SHA-256 of the file whose digest is 64 zeros.
sub write_weights {
    my ($path, $header, $data) = @_;
    $header =~ s/("sha256":")[0-9a-f]{64}/$1 . '0' x 64/e;
    spill($path, pack('Q<', length $header) . $header . $data);
    open(my $sum, '-|', 'sha256sum', '--', $path) or die "sha256sum: $!\n";
    my $digest = substr(<$sum> =~ s/^\\//r, 0, 64);
    $header =~ s/("sha256":")0{64}/$1$digest/;
    spill($path, pack('Q<', length $header) . $header . $data);
}

sub crc32 {
    my ($text) = @_;
    my $crc = 0xffffffff;
    for my $byte (unpack('C*', $text)) {
        $crc ^= $byte;
        $crc = $crc & 1 ? ($crc >> 1) ^ 0xedb88320 : $crc >> 1 for 1 .. 8;
    }
    return $crc ^ 0xffffffff;
}

sub half { # the nearest half-precision number at or below in magnitude
    my $bits = unpack('L<', pack('f<', $_[0]));
    my ($sign, $exponent, $mantissa) = (($bits >> 16) & 0x8000, (($bits >> 23) & 255) - 112, ($bits >> 13) & 1023);
    return $exponent <= 0 ? $sign : $exponent >= 31 ? $sign | 0x7bff : $sign | $exponent << 10 | $mantissa;
}

my %verb = (
    # number IN OUT TENSOR INDEX HEX: one float's bits
    number => sub {
        my ($in, $out, $tensor, $index, $hex) = @_;
        my ($header, $data) = weights($in);
        $header =~ /"\Q$tensor\E":\{[^}]*"data_offsets":\[(\d+),/ or die "no tensor $tensor\n";
        substr($data, $1 + 4 * $index, 4) = pack('L<', hex $hex);
        write_weights($out, $header, $data);
    },
    # config IN OUT KEY VALUE: a line of the config
    config => sub {
        my ($in, $out, $key, $value) = @_;
        my ($header, $data) = weights($in);
        $header =~ s/(?<=\\n)\Q$key\E = [^\\]*/$key = $value/ or die "no key $key\n";
        write_weights($out, $header, $data);
    },
    # f16 IN OUT: the same weights in half precision
    f16 => sub {
        my ($in, $out) = @_;
        my ($header, $data) = weights($in);
        $header =~ s/"F32"/"F16"/g;
        $header =~ s/"data_offsets":\[(\d+),(\d+)\]/'"data_offsets":[' . $1 \/ 2 . ',' . $2 \/ 2 . ']'/ge;
        write_weights($out, $header, pack('S<*', map { half($_) } unpack('f<*', $data)));
    },
    # flip FILE OFFSET MASK: bits of one byte; a negative offset counts from the end
    flip => sub {
        my ($path, $offset, $mask) = @_;
        my $data = slurp($path);
        substr($data, $offset, 1) = chr(ord(substr($data, $offset, 1)) ^ $mask);
        spill($path, $data);
    },
    # seal IN OUT FROM TO: a journal whose lines have FROM replaced by TO, each with the checksum that it then needs
    seal => sub {
        my ($in, $out, $from, $to) = @_;
        my $text = '';
        for my $line (split /\n/, slurp($in)) {
            $line =~ s/,"crc32":"[0-9a-f]{8}"\}$//;
            $line =~ s/\Q$from\E/$to/g if length $from;
            $text .= sprintf("%s,\"crc32\":\"%08x\"}\n", $line, crc32($line));
        }
        spill($out, $text);
    },
    # csv FILE COLUMN: that column's fields, one a line, newlines in them as a space; dies when a row has other columns
    csv => sub {
        my ($path, $column) = @_;
        my $text = slurp($path);
        my (@rows, @row);
        while ($text =~ /\G(?:"((?:[^"]|"")*)"|([^",\n]*))(,|\n|\z)/gc) {
            my ($field, $end) = (defined $1 ? $1 : $2, $3);
            $field =~ s/""/"/g;
            push @row, $field;
            next if $end eq ',';
            last if @row == 1 && $row[0] eq '' && $end eq '';
            push @rows, [@row];
            @row = ();
        }
        die "$path: no CSV\n" if defined pos $text && pos $text < length $text or !@rows;
        my ($at) = grep { $rows[0][$_] eq $column } 0 .. $#{ $rows[0] };
        die "$path: no column $column\n" unless defined $at;
        for my $row (@rows[1 .. $#rows]) {
            die "$path: a row of other columns\n" if @$row != @{ $rows[0] };
            (my $field = $row->[$at]) =~ s/\n/ /g;
            print "$field\n";
        }
    },
);
my $name = shift // '';
($verb{$name} // die "craft: no verb '$name'\n")->(@ARGV);
