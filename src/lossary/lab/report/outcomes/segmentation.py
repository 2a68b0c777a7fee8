"""x"""
SECTIONS = ()
