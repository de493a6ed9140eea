"""Random programs: written by a grammar, differentiated in every way, compared, shrunk.

``python -m tests.programs --minutes 30 --seed 7`` runs any number of them; see ``--help``.

* `program`: what a program is, its text, its arguments, and how it becomes a function;
* `writer`, `numbers`, `arrays`, `statements`, `idioms`, `helpers`, `generator`: the grammar, which
  writes a program from a seed;
* `reference`: the derivatives by complex steps of the same text as plain Python, in which no code
  of dualtape or Numba takes part;
* `kinds`: every way in which dualtape computes a derivative, and what it should be;
* `comparison`: all of these against each other;
* `shrinking`: a smaller program that fails in the same way;
* `workers`: comparisons in a process of their own, which may crash;
* `mutations`: wrong versions of the package, which must be noticed.
"""
