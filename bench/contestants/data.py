"""What every contestant answers with."""

from typing import Any

ROWS: list[dict[str, Any]] = [
    {"id": number, "name": f"thing {number}", "price": number * 1.25, "in_stock": number % 2 == 0, "tags": ["a", "b"]}
    for number in range(1, 101)
]
CHUNKS = [bytes([letter]) * 1024 for letter in b"abcdefghij"]
AREAS, PARTS = 8, 5  # 40 routes in nested routers
