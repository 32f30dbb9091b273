"""How good a restorer is: damage to judge it under, classical methods beside it, tables and pictures."""
