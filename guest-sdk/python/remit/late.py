"""Modules that the standard library imports only when they are needed.

A component is a picture of the interpreter behind its imports; there is no folder to import from later. So what is imported late
has to be here already. An agent imports what else it needs at the top of its module.
"""

import encodings.ascii
import encodings.idna
import encodings.latin_1
import heapq
import stringprep
import unicodedata

__all__ = ["encodings", "heapq", "stringprep", "unicodedata"]
