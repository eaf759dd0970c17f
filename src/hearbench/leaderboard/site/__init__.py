"""The leaderboard as a folder of pages that need no server and no network.

Pages are written by Jinja templates that escape whatever they are handed; scripts and style are
files beside them, so that a Content-Security-Policy can forbid everything else. Figures are
drawn by plotly, whose script is copied from the installed package.

The table's script is hearbench's own, though there are libraries for tables: itables, which brings
DataTables along, writes scripts into the page, which the policy forbids, and as modules, which
browsers don't load from files. What would be left to write is what most of the script does in
any case: missing scores last in either direction, domains, models without gaps, all of it in
the address; and a head of real buttons in a real table suits keyboards and screen readers.
"""

from hearbench.leaderboard.site.build import build_site
from hearbench.leaderboard.site.figures import PaperFigures, figures_of
from hearbench.leaderboard.site.own import OwnResult, ScoreInterval, add_results

__all__ = [
    "OwnResult",
    "PaperFigures",
    "ScoreInterval",
    "add_results",
    "build_site",
    "figures_of",
]
