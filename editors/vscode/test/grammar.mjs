// Colours specs with the grammar, as the editor does, and compares every token with the recorded ones.
//   node test/grammar.mjs [--update]
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import oniguruma from "vscode-oniguruma";
import textmate from "vscode-textmate";

const here = dirname(fileURLToPath(import.meta.url));
const update = process.argv.includes("--update");
const wasm = readFileSync(createRequire(import.meta.url).resolve("vscode-oniguruma/release/onig.wasm"));
await oniguruma.loadWASM(wasm.buffer.slice(wasm.byteOffset, wasm.byteOffset + wasm.byteLength));

const path = join(here, "..", "syntaxes", "hawq.tmLanguage.json");
const registry = new textmate.Registry({
  onigLib: Promise.resolve({
    createOnigScanner: (patterns) => new oniguruma.OnigScanner(patterns),
    createOnigString: (text) => new oniguruma.OnigString(text),
  }),
  loadGrammar: async () => textmate.parseRawGrammar(readFileSync(path, "utf-8"), path),
});
const grammar = await registry.loadGrammar("source.hawq");

function coloured(text) {
  const lines = [];
  let stack = textmate.INITIAL;
  for (const line of text.split("\n")) {
    const found = grammar.tokenizeLine(line, stack);
    stack = found.ruleStack;
    lines.push(`>${line}`);
    for (const token of found.tokens) {
      const scopes = token.scopes.slice(1).join(" ");
      const shown = line.slice(token.startIndex, token.endIndex);
      if (scopes !== "" && shown.trim() !== "") {
        lines.push(`#${" ".repeat(token.startIndex)}${"^".repeat(shown.length)} ${scopes}`);
      }
    }
  }
  return `${lines.join("\n")}\n`;
}

let wrong = 0;
let seen = 0;
for (const name of readdirSync(here).filter((file) => file.endsWith(".hawq"))) {
  seen += 1;
  const found = coloured(readFileSync(join(here, name), "utf-8").trimEnd());
  const record = join(here, `${name}.snap`);
  if (update) {
    writeFileSync(record, found);
    continue;
  }
  const wanted = readFileSync(record, "utf-8");
  if (found !== wanted) {
    wrong += 1;
    const before = wanted.split("\n");
    const after = found.split("\n");
    const line = after.findIndex((text, n) => text !== before[n]);
    console.error(`${name}: line ${line + 1} of the record\n- ${before[line]}\n+ ${after[line]}`);
  }
}
if (seen === 0) {
  console.error("no spec to colour");
}
console.log(`${seen} specs coloured, ${wrong} otherwise than recorded`);
process.exit(wrong > 0 || seen === 0 ? 1 : 0);
