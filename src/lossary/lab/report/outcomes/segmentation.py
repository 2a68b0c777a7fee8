"""x"""

SECTIONS = ()
