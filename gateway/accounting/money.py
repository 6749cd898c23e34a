"""Amounts of money: whole picodollars (1e-12 USD), so that sums are exact, and how they are parsed and formatted."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

PICODOLLARS = 10**12
_CENT = Decimal("0.01")


def usd(picodollars: int) -> Decimal:
    """Picodollars as USD, exactly."""
    return Decimal(picodollars).scaleb(-12)


def picodollars(usd: Decimal) -> int:
    """USD with at most twelve decimals as whole picodollars. Raises ValueError for more decimals."""
    whole = usd * PICODOLLARS
    if whole != int(whole):
        raise ValueError(f"{usd} USD has more than twelve decimals")
    return int(whole)


def exact(picodollars: int) -> str:
    """Picodollars as USD with twelve decimals, for JSON and CSV, such as 0.197500000000."""
    return format(usd(picodollars), "f")


def plain(picodollars: int) -> str:
    """Picodollars as USD, exactly, without trailing zeros, such as 0.1975."""
    text = exact(picodollars)
    return text.rstrip("0").rstrip(".") if "." in text else text


def dollars(picodollars: int) -> str:
    """Picodollars as USD to read, such as $1,240.50: rounded to cents, and an amount below one cent to the first two
    digits that are not 0, such as $0.00012. Half rounds to even. The console formats alike in `format.js`.
    """
    value = usd(picodollars)
    places = _CENT
    if value and abs(value) < _CENT:
        places = Decimal(1).scaleb(value.adjusted() - 1)
    shown = value.quantize(places, ROUND_HALF_EVEN)
    return f"{'-' if shown < 0 else ''}${abs(shown):,f}"


def dollars_of_float(usd: float) -> str:
    """A finite number of USD, rounded to picodollars and formatted as by `dollars`."""
    return dollars(int(Decimal(usd).scaleb(12).to_integral_value(ROUND_HALF_EVEN)))


def amount(option: str, text: str) -> Decimal:
    """A finite decimal number of 0 or more from a command-line option. Raises ValueError, which names the option."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{option}: not a number of USD; write it as 1.20") from None
    if not value.is_finite():
        raise ValueError(f"{option}: not a number of USD; write it as 1.20")
    if value < 0:
        raise ValueError(f"{option}: must not be negative")
    return value
