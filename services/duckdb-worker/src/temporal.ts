// Dates and times of DuckDB as ISO 8601, without going through a JavaScript Date: DuckDB's reach further (5.8 million
// years) and finer (nanoseconds).

const SECONDS_PER_DAY = 86_400n;

/** `2024-02-29`; years outside 0 to 9999 in ISO's expanded form: `-000043-03-15`, `+012345-01-01`. */
export function isoDate(daysSince1970: number): string {
  // Civil from days (Howard Hinnant, chrono-compatible date algorithms): an era is 400 years of 146,097 days from 1 March.
  const shifted = daysSince1970 + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1_460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * monthFromMarch + 2) / 5) + 1;
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  return `${isoYear(year)}-${padded(month, 2)}-${padded(day, 2)}`;
}

/** `12:30:00`, with as many digits of a second as there are: `12:30:00.000001`. */
export function isoTime(units: bigint, unitsPerSecond: bigint): string {
  const seconds = Number(units / unitsPerSecond);
  const fraction = units % unitsPerSecond;
  const clock = [Math.floor(seconds / 3_600), Math.floor(seconds / 60) % 60, seconds % 60].map((part) => padded(part, 2)).join(':');
  if (fraction === 0n) return clock;
  const digits = String(unitsPerSecond).length - 1;
  return `${clock}.${String(fraction).padStart(digits, '0').replace(/0+$/, '')}`;
}

/** `2024-02-29T12:30:00.5`, without a zone. */
export function isoTimestamp(units: bigint, unitsPerSecond: bigint): string {
  const unitsPerDay = SECONDS_PER_DAY * unitsPerSecond;
  let days = units / unitsPerDay;
  if (units % unitsPerDay < 0n) days -= 1n;
  return `${isoDate(Number(days))}T${isoTime(units - days * unitsPerDay, unitsPerSecond)}`;
}

/** `+02:00`, `-05:30`, `+00:00:30`. */
export function isoOffset(seconds: number): string {
  const size = Math.abs(seconds);
  const rest = size % 60 === 0 ? '' : `:${padded(size % 60, 2)}`;
  return `${seconds < 0 ? '-' : '+'}${padded(Math.floor(size / 3_600), 2)}:${padded(Math.floor(size / 60) % 60, 2)}${rest}`;
}

function isoYear(year: number): string {
  if (year >= 0 && year <= 9_999) return padded(year, 4);
  return `${year < 0 ? '-' : '+'}${padded(Math.abs(year), 6)}`;
}

function padded(value: number, width: number): string {
  return String(value).padStart(width, '0');
}
