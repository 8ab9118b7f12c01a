/** Statements as they may be shown: without the values in them, which may be anybody's. */

const longest = 500

/**
 * Strings, quoted the plain way, with backslashes or by dollars, and numbers become a question mark; what begins a
 * string and does not end it, because the text was cut, goes with the rest. Names in double quotes stay. Comments go.
 */
const values =
  /\/\*[\s\S]*?(?:\*\/|$)|--[^\n]*|"(?:[^"]|"")*(?:"|$)|\b[eE]'(?:[^'\\]|\\[\s\S]|'')*(?:'|\\?$)|(?:\b[bBxXnN]|\b[uU]&)?'(?:[^']|'')*(?:'|$)|\$([A-Za-z_]\w*)?\$[\s\S]*?(?:\$\1\$|$)|\$\d+|[A-Za-z_][\w$]*|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?/gu

export const withoutValues = (statement: string): string => {
  const text = statement
    .replaceAll(values, (part) => {
      if (part.startsWith("/*") || part.startsWith("--")) return " "
      const isName = part.startsWith('"') || (/^[A-Za-z_]/u.test(part) && !part.includes("'"))
      return isName || /^\$\d+$/u.test(part) ? part : "?"
    })
    .replaceAll(/\s+/gu, " ")
    .trim()
  return text.length > longest ? `${text.slice(0, longest)}…` : text
}
