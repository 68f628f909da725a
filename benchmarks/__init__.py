"""What the benchmark measures: contestants, the loop that takes their times in turn, and the parts."""
