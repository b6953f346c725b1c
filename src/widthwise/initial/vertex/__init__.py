"""All inputs together through 1/n: the random kernel's mean and covariance."""
