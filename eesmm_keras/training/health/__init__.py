"""Signs that a pre-training goes wrong, told once each in plain words.

One file per sign, found by its name: a module with `at_start(model, images)` or `after_epoch(rows)`, or
both, which return what to tell, or None. `images` are some of the run's, pixels `(B, H, W, C)`; `rows`
are the epochs so far, `{name: number}` as in metrics.csv. Signs change nothing.
"""

SIGNS = ("still_targets", "flat_loss", "falling_probe", "collapsed_features", "slow_data")
