"""The shell and the style of a replay's page: light and dark, wide and narrow."""

from typing import Final

SHELL: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>{style}</style><body>{body}</body></html>
"""
STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #68737f; --rule: #e3e7ec; --paper: #fff;
 --ours: #0b6bcb; --rival: #e07a1f; --need: #9aa5b1; --oracle: #2e9e5b; --band: #0b6bcb22;
 --p0: #a34fb8; --p1: #c2452d; --p2: #8a7400; --bad: #c2452d; --good: #2e9e5b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaef; --soft: #97a3b0; --rule: #2b333d;
 --paper: #14181d; --ours: #58a6ff; --rival: #f0944d; --need: #6d7885; --oracle: #4fc27f;
 --band: #58a6ff3d; --p0: #cf8be0; --p1: #f07a63; --p2: #d3bb3e;
 --bad: #f07a63; --good: #4fc27f; } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper);
 max-width: 1080px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2.2rem 0 .2rem; }
.about { color: var(--soft); margin: .3rem 0 1rem; font-size: .9rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .5rem; text-align: right; border-bottom: 1px solid var(--rule);
 vertical-align: top; } tbody th, th:first-child { text-align: left; font-weight: 500; }
th.name { text-align: left; }
thead th { font-size: .8rem; color: var(--soft); font-weight: 500; }
small { display: block; color: var(--soft); font-size: .72rem; font-weight: 400; }
tr.foresail th, tr.foresail td { font-weight: 700; } td.missed { color: var(--bad); }
td { white-space: nowrap; }
.verdict { margin: 1rem 0 1.4rem; padding: .7rem .9rem; border-left: 3px solid var(--ours);
 background: var(--band); }
.invalid, .note { margin: 1rem 0 1.4rem; padding: .7rem .9rem;
 border-left: 3px solid var(--rival); }
.invalid { border-color: var(--bad); color: var(--bad); }
.moves td { white-space: normal; } td.met { color: var(--good); } tr.oracle { color: var(--soft); }
.moves td, .moves th { text-align: left; }
.moves td { font-size: .8rem; } .moves td:first-child { white-space: nowrap; }
summary { cursor: pointer; color: var(--soft); } svg { width: 100%; height: auto; }
svg.narrow { display: none; }
.small-multiples { display: grid; gap: .6rem 1.4rem;
 grid-template-columns: repeat(auto-fill, minmax(min(100%, 400px), 1fr)); }
figure { margin: 0; } figcaption { font-size: .85rem; margin-top: .6rem; }
.choice { border: 0; padding: 0; margin: .4rem 0; font-size: .85rem; color: var(--soft); }
.choice legend { float: left; margin-right: 1rem; } .choice label { margin-right: 1rem;
 display: inline-block; cursor: pointer; color: var(--ink); }
.choice input { margin: 0 .35rem 0 0; }
.chosen { display: none; }
@supports not selector(:has(a)) { .chosen { display: block; } .choice { display: none; } }
 .wide-table { overflow-x: auto; } code { overflow-wrap: anywhere; }
@media (max-width: 640px) { svg.wide { display: none; } svg.narrow { display: block; }
 body { margin: 1rem auto; } tbody th small { display: none; }
 tbody th { position: sticky; left: 0; background: var(--paper); } }
.grid { stroke: var(--rule); } .tick, .label { fill: var(--soft); font-size: 12px; }
.line { fill: none; stroke-width: 1.6; stroke: currentColor; stroke-linejoin: round; }
.dot { fill: currentColor; } .bar { fill: currentColor; opacity: .75; }
.band { fill: var(--ours); opacity: .4; } .thin { stroke-width: 1; }
.gap { fill: var(--need); opacity: .28; } .key.gap { color: var(--need); opacity: 1; }
.name { fill: currentColor; font-size: 12px; } .ours { color: var(--ours); }
.rival { color: var(--rival); }
.cap { color: var(--bad); } .line.cap { stroke-dasharray: 6 4; }
.line.oracle { stroke-dasharray: 5 3; }
.need { color: var(--need); } .demand { color: var(--ink); } .oracle { color: var(--oracle); }
.forecast { color: var(--ours); } .other { color: var(--need); opacity: .55; }
.peer0 { color: var(--p0); } .peer1 { color: var(--p1); } .peer2 { color: var(--p2); }
.legend { margin: 0; font-size: .85rem; } .key { margin-right: 1.2rem; display: inline-block; }
.key i { display: inline-block; width: 1.1em; height: .28em; margin-right: .4em; background:
 currentColor; vertical-align: middle; border-radius: 2px; }
"""
