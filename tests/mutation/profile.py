"""How properties run against a mutant, as a pytest plugin: the same examples every time, so that its fate is no matter
of luck, and no search for the smallest counterexample, which nobody reads here.
"""

from hypothesis import Phase, settings

settings.register_profile("mutation", derandomize=True, database=None, deadline=None, phases=[Phase.generate])
