// Numbers and dates as text; null and undefined are a dash.

export const NONE = "–";
const absent = (value) => value === null || value === undefined;

// USD, given as a number or as a decimal string: rounded to cents, half to even, and an amount below one cent to the
// first two digits that are not 0. The same text as `dollars()` in gateway/accounting/money.py; a test compares them.
export const usd = (value) => {
  if (absent(value)) return NONE;
  const [, sign, whole, fraction = ""] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(typeof value === "string" ? value : value.toFixed(12));
  // One decimal more than the twelve of a picodollar: two digits of one picodollar end there.
  const amount = BigInt(whole + fraction.padEnd(13, "0").slice(0, 13));
  const cent = 10n ** 11n;
  const places = amount === 0n || amount >= cent ? 2 : 15 - String(amount).length;
  const digits = String(rounded(amount, 10n ** BigInt(13 - places))).padStart(places + 1, "0");
  const dollars = BigInt(digits.slice(0, -places)).toLocaleString("en-US");
  return `${amount === 0n ? "" : sign}$${dollars}.${digits.slice(-places)}`;
};

// amount / unit as a whole number, half to even.
const rounded = (amount, unit) => {
  const down = amount / unit;
  const twice = 2n * (amount % unit);
  return twice > unit || (twice === unit && down % 2n === 1n) ? down + 1n : down;
};

export const percent = (value, digits = 1) => (absent(value) ? NONE : `${(100 * value).toFixed(digits)}%`);

export const count = (value) => new Intl.NumberFormat("en-US").format(value ?? 0);

export const moment = (milliseconds) => new Date(milliseconds).toISOString().slice(0, 19).replace("T", " ");

export const day = (milliseconds) => new Date(milliseconds).toISOString().slice(0, 10);

// The month of all monthly figures, as in gateway/economics/periods.py.
export const HOURS_A_MONTH = 730;

export const NOT_MEASURED = "not measured yet";
export const NEVER = "never at this rate";

// The break-even date of /admin/report as text, or why there is none.
export const breakEven = (report) => {
  if (!Number(report.investment_usd)) return "nothing invested";
  if (report.payback_at) return report.payback_at.slice(0, 10);
  return report.savings_usd === null ? NOT_MEASURED : "no date: savings too small, too uncertain, or under three days";
};

// The date `months` after `from`, in milliseconds since the epoch; null, and a date too far away, is never.
export const after = (months, from = Date.now()) => {
  if (absent(months)) return NEVER;
  const at = from + months * HOURS_A_MONTH * 3_600_000;
  return Number.isFinite(at) && at < 8.64e15 ? day(at) : NEVER;
};
