"""How good an answer is: checkers, scorers and a judge model."""
