"""Errata E4-1 to E4-32, of the primer."""

from lossary.gallery.errata import primer_classes, primer_pairs

EXHIBITS = (*primer_classes.EXHIBITS, *primer_pairs.EXHIBITS)
