"""How certified distances fall with the width: powers of n over ten seeds, with their errors."""

from certificate_sections._tests import add_tests

add_tests()

from certify.certified_rates import (
    COLUMNS,
    NETS,
    QUANTITIES,
    SEEDS,
    WIDTHS,
    certified,
    fitted,
    slope,
)


def report(_):
    print(f"means over {SEEDS} seeds at the widths {', '.join(map(str, WIDTHS))}\n")
    print("| law | certified | power of n | A n^-1/2 + B/n: A | B |\n|---|---|---|---|---|")
    for law, net in NETS.items():
        found = certified(net)
        for k, quantity in enumerate(QUANTITIES):
            power = "{:.3f} ± {:.3f}".format(*slope(found[:, :, k]))
            pairs = zip(*fitted(found[:, :, k], COLUMNS), strict=True)
            parts = " | ".join(f"{value:.3g} ± {error:.2g}" for value, error in pairs)
            print(f"| {law} | {quantity} | {power} | {parts} |", flush=True)
