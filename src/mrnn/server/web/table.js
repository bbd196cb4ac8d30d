// A table of names and captions as the file that spreadsheets read (CSV), as the server's own.

/** A Blob of rows, each a file's name and a caption. */
export function table(rows) {
  const inert = rows.map(([name, caption]) => [plain(name, "./"), plain(caption, "'")]);
  const text = [["image", "caption"], ...inert].map((row) => row.map(cell).join(",")).join("\r\n");
  return new Blob(["\ufeff", text, "\r\n"], { type: "text/csv;charset=utf-8" });
}

/** Text that no spreadsheet takes for a formula. */
const plain = (text, mark) => (/^[=+\-@\t\r]/.test(text) ? mark + text : text);

const cell = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
