"""Running long work step by step: in this process, on a cluster, or shared by several processes.

What the steps do is theirs. They are small, can be sent, and end with files in a cache, so that it
doesn't matter which process does one, nor how often.
"""
