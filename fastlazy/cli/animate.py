"""``fastlazy animate``: a film of what training captures of each eigendirection."""

from __future__ import annotations

import argparse
from typing import Any

from fastlazy._support.arguments import check_count
from fastlazy._support.files import check_path, check_writable, replace_file
from fastlazy.cli.options import parse_scales
from fastlazy.cli.output import complain, load_matplotlib, tell

_PANELS = 3
_DESCRIPTION = """\
Train quadratic networks alpha (f - f_0) by SGD from the same weights, once for each scale alpha,
and write a film of the share of each eigendirection of B that they have captured, beside what RF,
NT and the best network of this width capture.
"""
_EPILOG = """\
examples:
  fastlazy animate shares.gif                    one panel leaves the linearisation, one does not
  fastlazy animate shares.mp4 --d 200 --N 50     needs ffmpeg
  fastlazy animate shares.gif --scales 0.01,1,100
"""


def add_animate_command(commands: Any) -> None:
    """Add ``fastlazy animate`` to the *commands* of a parser, in place."""
    parser = commands.add_parser(
        "animate",
        help="write a film of what training captures",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("film", metavar="FILE", help="the film: FILE.gif, or FILE.mp4, which needs ffmpeg")
    parser.add_argument("--d", type=int, default=100, help="input dimension (default: %(default)s)")
    parser.add_argument("--N", type=int, help="neurons (default: 3 d / 10)")
    parser.add_argument(
        "--scales", metavar="A,A,...", default="0.01,100", help="scales alpha, a panel each (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of all that is drawn (default: %(default)s)")
    parser.set_defaults(run=run_animate)


def run_animate(arguments: argparse.Namespace) -> int:
    """Train, and write the film; the exit status."""
    try:
        path = check_path("FILE", arguments.film)
        d, seed = check_count("--d", arguments.d, 4), check_count("--seed", arguments.seed, 0)
        N = check_count("--N", max(1, round(0.3 * d)) if arguments.N is None else arguments.N)
        scales = parse_scales("--scales", arguments.scales)
        if len(scales) > _PANELS:
            raise ValueError(f"--scales must be at most {_PANELS} numbers, got {arguments.scales!r}; each has a panel")
        check_writable(path)
        load_matplotlib()
        # The heavy modules are loaded once the arguments are known to be good.
        import matplotlib.pyplot as plt

        from fastlazy.figures.share_animation import film_writer, save_film, share_frames, share_runs

        film_writer(path)  # which may not be there, and training takes longer
        runs = share_runs(d, N, scales, seed)
        with plt.rc_context({"font.size": 14}):
            animation = share_frames(runs)
            try:
                replace_file(path, lambda temporary: save_film(animation, temporary))
            finally:
                plt.close("all")
        ends = ", ".join(
            f"{risk:.3f} at alpha = {scale:g}" for scale, risk in zip(scales, runs.risks[:, -1], strict=True)
        )
        tell(f"{path}: {len(runs.samples)} moments of training; risk over the null risk at the end {ends}")
    except (ValueError, OSError) as error:
        complain(f"fastlazy animate: {error}")
        return 2
    return 0
