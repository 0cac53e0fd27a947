"""The simulation behind ranks and intervals, see ``ranked_boards.py``. Run: python benchmarks/statistics.py --help"""

import sys
import sysconfig
from importlib.machinery import PathFinder
from importlib.util import module_from_spec

if __name__ == "__main__":
    from ranked_boards import main

    main()
else:
    # Python puts this folder first in the path of its scripts. Whoever imports `statistics` means Python's own module.
    spec = PathFinder.find_spec("statistics", [sysconfig.get_path("stdlib")])
    assert spec is not None
    assert spec.loader is not None
    sys.modules[__name__] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules[__name__])
