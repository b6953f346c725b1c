"""What to cite: the paper whose mathematics this is, and the software, as BibTeX."""

PAPER = r"""@misc{carvalho2023wide,
  title         = {Wide neural networks: {From} non-gaussian random fields at initialization to
                   the {NTK} geometry of training},
  author        = {Carvalho, Lu{\'i}s and Costa, Jo{\~a}o Lopes and Mour{\~a}o, Jos{\'e} and
                   Oliveira, Gon{\c c}alo},
  year          = {2023},
  eprint        = {2304.03385},
  archivePrefix = {arXiv},
  primaryClass  = {cs.LG},
  doi           = {10.48550/arXiv.2304.03385},
  url           = {https://arxiv.org/abs/2304.03385},
}
"""

PAPER_IN_WORDS = (
    "Luís Carvalho, João Lopes Costa, José Mourão and Gonçalo Oliveira, Wide neural networks: From "
    "non-gaussian random fields at initialization to the NTK geometry of training, "
    "arXiv:2304.03385 (2023)."
)


def software() -> str:
    """The BibTeX entry of this version of widthwise."""
    from widthwise import __version__

    return (
        "@software{widthwise,\n"
        "  title   = {widthwise: finite-width laws of neural networks, at initialization and\n"
        "             during training},\n"
        "  author  = {{The widthwise developers}},\n"
        f"  version = {{{__version__}}},\n"
        "  license = {Apache-2.0},\n"
        "}\n"
    )


def citations() -> str:
    """Both entries, the paper first: a BibTeX file as it is."""
    return f"{PAPER}\n{software()}"
