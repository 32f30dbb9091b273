"""The style of report.html, for light and dark screens."""

STYLE = """
:root { color-scheme: light dark; --paper: #fcfbf9; --card: #fff; --ink: #1d1c1a; --soft: #6d6a64; --line:
  #e5e1da; --good: #19733f; --bad: #b3261e; --c0: #2563c9; --c1: #d2691e; --c2: #188a5b; --c3: #8b46c1;
  --c4: #c2334d; --c5: #6b7280; }
@media (prefers-color-scheme: dark) { :root { --paper: #141517; --card: #1b1d20; --ink: #e9e6e1; --soft:
  #9a968f; --line: #303338; --good: #5cc98a; --bad: #ff8a80; --c0: #74a7ff; --c1: #f0a05a; --c2: #5fcf9c;
  --c3: #c391f2; --c4: #ff8095; --c5: #a3aab5; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); -webkit-text-size-adjust: 100%; font:
  16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: clamp(1.5rem, 5vw, 4rem) clamp(1rem, 4vw, 2rem); }
h1 { font-size: clamp(1.9rem, 6vw, 3rem); line-height: 1.1; letter-spacing: -.025em; font-weight: 680;
  margin: .2rem 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; letter-spacing: -.01em; font-weight: 640; margin: 3.2rem 0 1rem; padding-top: .9rem;
  border-top: 1px solid var(--line); }
h3 { font-size: .95rem; font-weight: 620; margin: 0 0 .5rem; } .soft, figcaption, th { color: var(--soft); }
p { margin: .3rem 0; }
.stats { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: 1.2rem; margin:
  2rem 0; }
.stats dt { color: var(--soft); font-size: .82rem; } .good { color: var(--good); }
.bad { color: var(--bad); }
.stats dd { margin: 0; font-size: 1.45rem; font-weight: 620; letter-spacing: -.02em; }
dd, td, figcaption, text { font-variant-numeric: tabular-nums; } figure { margin: 0; }
figcaption { font-size: .85rem; margin-top: .4rem; }
img { display: block; max-width: 100%; height: auto; border-radius: 4px; }
.pixels { image-rendering: pixelated; }
.two { display: grid; align-items: start; grid-template-columns: repeat(auto-fill, minmax(min(100%, 25rem),
  1fr)); gap: 1.6rem; }
.time { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(46%, 12rem), 1fr)); gap: 1.2rem;
  }
.time img { width: 100%; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 1rem;
  min-width: 0; }
svg { display: block; width: 100%; height: auto; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; padding: 0; margin: .6rem 0
  0; font-size: .85rem; }
.legend i { display: inline-block; width: .9em; height: .22em; border-radius: 1px; margin-right: .45em;
  vertical-align: .25em; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th { text-align: left; font-weight: 400; padding: .32rem 1.2rem .32rem 0; vertical-align: top; width: 45%; }
td { padding: .32rem 0; overflow-wrap: anywhere; } tr + tr > * { border-top: 1px solid var(--line); }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .8rem 1rem;
  margin: .4rem 0 1rem; white-space: pre-wrap; overflow-wrap: anywhere; font: .88rem/1.5 ui-monospace,
  Menlo, Consolas, monospace; }
"""
