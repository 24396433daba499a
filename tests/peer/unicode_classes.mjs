// Writes the table of datasets/words/unicode_class.c on standard output, from the Unicode data of this node:
//   node tests/peer/unicode_classes.mjs > table.inc
// White space is the Unicode property, as in the tokenizers of HuggingFace; JavaScript's \s differs by two characters.
const classes = [/\p{L}/u, /\p{N}/u, /\p{White_Space}/u];

const starts = [];
let before = 0;
for (let c = 0; c <= 0x10ffff; c++) {
    const now = classes.findIndex((r) => r.test(String.fromCodePoint(c))) + 1;
    if (now !== before) starts.push(`${c}<<2|${now}`);
    before = now;
}
console.log(`/* Unicode ${process.versions.unicode}. */`);
console.log(starts.map((s) => { const [c, k] = s.split('<<2|'); return '0x' + (c * 4 + +k).toString(16); }).join(', '));
