"""Learning rates that follow the clock, and checkpoints that survive a crash.

Training here is bounded by time, not by steps: the rate warms up over the first steps, then falls
along a cosine that reaches its floor at the deadline.
"""

import datetime
import math
import os
import time

import torch


def parse_deadline(text):
    """'HH:MM' as seconds since the epoch: today, or tomorrow if that has passed."""
    now = datetime.datetime.now()
    hour, minute = map(int, text.split(":"))
    moment = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if moment <= now:
        moment += datetime.timedelta(days=1)
    return moment.timestamp()


class Clock:
    """Progress from `start` (seconds since the epoch) to `end`, in 0..1."""

    def __init__(self, end, start=None):
        self.start = time.time() if start is None else start
        self.end = end

    def progress(self):
        return min(1.0, max(0.0, (time.time() - self.start) / (self.end - self.start)))

    def over(self):
        return time.time() >= self.end

    def rate(self, peak, step, warmup, floor=0.01):
        """Linear warm-up over `warmup` steps, then half a cosine down to `floor * peak`."""
        cosine = 0.5 * (1 + math.cos(math.pi * self.progress()))
        return peak * min(1.0, (step + 1) / warmup) * (floor + (1 - floor) * cosine)


def set_rate(optimizer, rate):
    for group in optimizer.param_groups:
        group["lr"] = rate


def save_checkpoint(path, state):
    """Write to a neighbour and rename, so that a crash leaves the old file whole."""
    temporary = f"{path}.part"
    torch.save(state, temporary)
    os.replace(temporary, path)
