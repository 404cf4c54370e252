"""An example to copy from: what a loan costs, and its schedule as a stream."""

from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query
from pydantic import BaseModel, Field

from .state import CurrentState, State

router = APIRouter(prefix="/loans", tags=["loans"])


class Loan(BaseModel):
    """An amount, a yearly rate in percent, and a number of monthly payments."""

    amount: Decimal = Field(gt=0, max_digits=12, decimal_places=2, examples=["12000.00"])
    rate: Decimal = Field(ge=0, le=100, decimal_places=3, examples=["4.5"])
    months: int = Field(ge=1, examples=[24])


class Quote(BaseModel):
    """What the loan costs; amounts are decimal strings, so that no cent is lost."""

    payment: Decimal
    interest: Decimal


class Month(BaseModel):
    """One line of the schedule; the last payment is whatever remains."""

    month: int
    payment: Decimal
    interest: Decimal
    balance: Decimal


@router.post("/quote")
async def quote(loan: Loan, state: CurrentState) -> Quote:
    """What the loan costs, as one JSON response."""
    check(loan, state)
    months = list(schedule(loan))
    return Quote(payment=months[0].payment, interest=sum((month.interest for month in months), Decimal()))


async def loan_on_offer(loan: Annotated[Loan, Query()], state: CurrentState) -> Loan:
    """A loan from the query. Checked in a dependency, because a stream that has started can no longer respond with 422."""
    check(loan, state)
    return loan


@router.get("/schedule")
async def stream(loan: Annotated[Loan, Depends(loan_on_offer)]) -> AsyncIterator[Month]:
    """The schedule as JSON lines, each sent once it is known."""
    for month in schedule(loan):
        yield month


def check(loan: Loan, state: State) -> None:
    """Reject with 422 a loan that is valid but not on offer."""
    longest = state["settings"].loans_max_months
    if loan.months > longest:
        raise HTTPException(422, f"months: {loan.months} is more than {longest}, the longest loan on offer")


def schedule(loan: Loan) -> Iterator[Month]:
    """Every month of the loan, with equal payments except the last."""
    cent = Decimal("0.01")
    rate = loan.rate / 1200
    payment = loan.amount * rate / (1 - (1 + rate) ** -loan.months) if rate else loan.amount / loan.months
    payment = payment.quantize(cent)
    balance = loan.amount
    for month in range(1, loan.months + 1):
        interest = (balance * rate).quantize(cent)
        due = balance + interest
        paid = due if month == loan.months else min(payment, due)
        balance = due - paid
        yield Month(month=month, payment=paid, interest=interest, balance=balance)
