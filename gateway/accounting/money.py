"""Amounts of money: whole picodollars (1e-12 USD), so that no sum ever drifts, and how they are read and written."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

PICODOLLARS = 10**12
_CENT = Decimal("0.01")


def usd(picodollars: int) -> Decimal:
    """Picodollars as exact USD."""
    return Decimal(picodollars).scaleb(-12)


def picodollars(usd: Decimal) -> int:
    """USD with at most twelve decimals as whole picodollars. Raises ValueError for more decimals."""
    whole = usd * PICODOLLARS
    if whole != int(whole):
        raise ValueError(f"{usd} USD has more than twelve decimals")
    return int(whole)


def exact(picodollars: int) -> str:
    """USD with all its decimals, for machines."""
    return format(usd(picodollars), "f")


def plain(picodollars: int) -> str:
    """USD with all its decimals that are not trailing zeros, such as 0.1975."""
    text = exact(picodollars)
    return text.rstrip("0").rstrip(".") if "." in text else text


def dollars(picodollars: int) -> str:
    """USD for people, such as $1,240.50: cents, and the first two digits that are not 0 of what is below a cent."""
    value = usd(picodollars)
    places = _CENT
    if value and abs(value) < _CENT:
        places = Decimal(1).scaleb(value.adjusted() - 1)
    shown = value.quantize(places, ROUND_HALF_EVEN)
    return f"{'-' if shown < 0 else ''}${abs(shown):,f}"


def amount(option: str, text: str) -> Decimal:
    """USD of a command-line option: a finite number of 0 or more. Raises ValueError, which names the option."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{option}: not a number of USD; write it as 1.20") from None
    if not value.is_finite():
        raise ValueError(f"{option}: not a number of USD; write it as 1.20")
    if value < 0:
        raise ValueError(f"{option}: must not be negative")
    return value
