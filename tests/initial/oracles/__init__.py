"""Cumulants of finite networks computed without the recursion, to compare it with."""
