"""The report: sections, figures and words, and the page that they become."""
