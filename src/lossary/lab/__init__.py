"""The lab: plan -> train -> record -> judge -> report. Compares losses fairly on one's own data."""
