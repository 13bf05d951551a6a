"""What a difference is worth: resampling, intervals and decisions that say how sure they are."""
