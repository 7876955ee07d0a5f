// Compares what a page's example gives with what the page says that it prints.

import assert from "node:assert/strict";

/** Fail where a value is not printed as said; `…` in what is said stands for anything. */
export function says(value: unknown, said: string): void {
  const shown = typeof value === "string" ? value : JSON.stringify(value);
  const pattern = said.split("…").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  assert.match(shown, new RegExp(`^${pattern.join(".*")}$`, "s"));
}
