"""The look of a report's page. The colours of stages can be told apart by colour-blind readers."""

from __future__ import annotations

__all__ = ["STYLE"]

STYLE = """\
:root { color-scheme: light dark; --ink: #1d2129; --soft: #5d6673; --line: #d9dde3;
  --paper: #ffffff; --field: #f1f3f6; --embedding: #0072b2; --probe: #e69f00;
  --scoring: #009e73; --other: #8a8f98; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e7eaef; --soft: #a3abb8; --line: #363c46; --paper: #15181d; --field: #22272f;
    --embedding: #4ba3dd; --probe: #f0b429; --scoring: #2fc49a; }
}
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 24px 20px 60px; }
h1 { font-size: 26px; margin: 8px 0 16px; }
h2 { font-size: 18px; margin: 32px 0 8px; }
.figures { display: flex; flex-wrap: wrap; gap: 8px 32px; margin: 0 0 20px; }
.figures dt { color: var(--soft); font-size: 13px; }
.figures dd { margin: 0; font-size: 20px; font-variant-numeric: tabular-nums; }
.bar { display: flex; height: 14px; border-radius: 3px; overflow: hidden;
  background: var(--field); }
main > .bar { height: 26px; }
.bar span { display: block; height: 100%; }
.embedding { background: var(--embedding); } .probe { background: var(--probe); }
.scoring { background: var(--scoring); } .other { background: var(--other); }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 4px 24px; padding: 0;
  margin: 8px 0 24px; }
.key { display: inline-block; width: 12px; height: 12px; border-radius: 2px; margin-right: 6px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; color: var(--soft); font-weight: 500; font-size: 13px; }
th, td { padding: 5px 14px 5px 0; border-bottom: 1px solid var(--line); vertical-align: middle;
  overflow-wrap: anywhere; }
th:last-child, td:last-child { padding-right: 0; }
td:not(.n) { min-width: 140px; }
td small { display: block; color: var(--soft); }
.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.wide { width: 24%; min-width: 110px; }
details { border-bottom: 1px solid var(--line); padding: 6px 0; }
details tbody tr:last-child td { border-bottom: 0; }
/* The tables of all results have their columns at the same places. */
details table { table-layout: fixed; min-width: 640px; }
details th:first-child { width: 24%; } details th:nth-child(2) { width: 14%; }
details th:nth-child(3) { width: 26%; }
summary { cursor: pointer; overflow-wrap: anywhere; }
code { overflow-wrap: anywhere; }
"""
