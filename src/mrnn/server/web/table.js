// A table as the file that spreadsheets read (CSV), written as the server writes its own.

/** A Blob of rows of text under a header. */
export function table(header, rows) {
  const text = [header, ...rows].map((row) => row.map(cell).join(",")).join("\r\n");
  return new Blob(["\ufeff", text, "\r\n"], { type: "text/csv;charset=utf-8" });
}

/** One that no spreadsheet takes for a formula. */
function cell(text) {
  const inert = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(inert) ? `"${inert.replaceAll('"', '""')}"` : inert;
}
