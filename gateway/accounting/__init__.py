"""What a request used and what that costs: token counts, prices, and the settled record."""
