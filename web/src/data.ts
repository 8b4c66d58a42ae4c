// The one way to the page's data: the inlined block that Python wrote.
import type { BenchView, CompareView, RunView, SweepView } from "./schema";

export type AnyView = RunView | CompareView | BenchView | SweepView;

/** Return the page's view model, or null where the page carries none. */
export function data(name: string): AnyView | null {
  const block = document.getElementById(name);
  return block?.textContent ? (JSON.parse(block.textContent) as AnyView) : null;
}
