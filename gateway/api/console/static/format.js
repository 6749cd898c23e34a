// Numbers and moments for people; null is a dash.

export const usd = (value) => {
  if (value === null || value === undefined) return "–";
  const number = Number(value);
  const digits = number !== 0 && Math.abs(number) < 1 ? 6 : 2;
  return new Intl.NumberFormat("en-US", { style: "currency", currency: "USD", maximumFractionDigits: digits }).format(number);
};

export const percent = (value, digits = 1) =>
  value === null || value === undefined ? "–" : `${(100 * value).toFixed(digits)} %`;

export const count = (value) => new Intl.NumberFormat("en-US").format(value ?? 0);

export const moment = (milliseconds) => new Date(milliseconds).toISOString().slice(0, 19).replace("T", " ");

export const day = (milliseconds) => new Date(milliseconds).toISOString().slice(0, 10);

const MONTH = (365.25 / 12) * 86_400_000;

// When `months` from now is; a date beyond the calendar is never.
export const after = (months) => {
  if (months === null || months === undefined) return "never at this rate";
  const at = Date.now() + months * MONTH;
  return Number.isFinite(at) && at < 8.64e15 ? day(at) : "never at this rate";
};
