// Dates as people read them. They are local times as the server tells them: "2024-05-31T14:02:00".

const DAY = { weekday: "short", day: "numeric", month: "short", year: "numeric" };
const MONTH = { month: "long", year: "numeric" };
const MINUTE = { ...DAY, hour: "2-digit", minute: "2-digit" };

export const dayOf = (date) => (date ?? "").slice(0, 10);

/** "Fri, 31 May 2024" in the reader's language. */
export const day = (date) => told(`${dayOf(date)}T12:00:00`, DAY);

export const minute = (date) => told(date, MINUTE);

/** "May 2024", of "2024-05". */
export const month = (date) => told(`${date}-15T12:00:00`, MONTH);

/** The last day of "2024-05". */
export function lastDay(date) {
  const [year, number] = date.split("-").map(Number);
  return `${date}-${new Date(year, number, 0).getDate()}`;
}

function told(date, how) {
  const time = new Date(date);
  return Number.isNaN(time.getTime()) ? String(date ?? "") : time.toLocaleString([], how);
}
