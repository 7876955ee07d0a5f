// Makes a test of each page that shows TypeScript: its examples, as they stand there, in one program.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";

const PAGES = { readme: "../README.md", "how-to": "../../../docs/how-to/use-from-typescript.md" };
const TARGET = new URL("../test/pages/", import.meta.url);

rmSync(TARGET, { recursive: true, force: true });
mkdirSync(TARGET, { recursive: true });
for (const [name, path] of Object.entries(PAGES)) {
  const page = readFileSync(new URL(path, import.meta.url), "utf-8");
  const blocks = [...page.matchAll(/^```ts\n(.*?)^```$/gms)].map((found) => found[1]);
  if (blocks.length === 0) throw new Error(`${path} shows no TypeScript`);
  const program = blocks
    .join("\n")
    .replaceAll('"fitd-client"', '"../../src/index.js"')
    .replaceAll('"http://127.0.0.1:8000"', 'process.env["FITD_URL"]!')
    // What a page says that it prints is what it must print.
    .replace(
      /^( *)console\.log\((.*)\); \/\/ (.*)$/gm,
      (_, indent, shown, printed) => `${indent}says(${shown}, ${JSON.stringify(printed)});`,
    );
  writeFileSync(new URL(`${name}.test.ts`, TARGET), `import { says } from "../says.js";\n${program}`);
}
