/**
 * Splits a migration into the statements the driver takes one by one.
 *
 * Follows PostgreSQL's own lexer where a semicolon can hide: quotes, comments,
 * dollar quotes, parentheses, and the `begin atomic … end` of a function body.
 */

const identifierStart = /[A-Za-z_\u0080-\uffff]/
const identifierPart = /[A-Za-z0-9_$\u0080-\uffff]/
const dollarTag = /\$(?:[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\$/y
const blank = /\s/

/** The position after a quoted token; `''` stands for the quote itself, and in `E''` so does `\'`. */
const afterQuote = (text: string, start: number, quote: string, backslashEscapes: boolean) => {
  let at = start + 1
  while (at < text.length) {
    if (backslashEscapes && text[at] === "\\") {
      at += 2
    } else if (text[at] !== quote) {
      at += 1
    } else if (text[at + 1] === quote) {
      at += 2
    } else {
      return at + 1
    }
  }
  return text.length
}

const afterLineComment = (text: string, start: number) => {
  const end = text.indexOf("\n", start)
  return end === -1 ? text.length : end
}

/** Block comments nest. One without an end answers -1, so that PostgreSQL gets to see and refuse it. */
const afterBlockComment = (text: string, start: number) => {
  let depth = 1
  let at = start + 2
  while (at < text.length && depth > 0) {
    if (text.startsWith("/*", at)) {
      depth += 1
      at += 2
    } else if (text.startsWith("*/", at)) {
      depth -= 1
      at += 2
    } else {
      at += 1
    }
  }
  return depth === 0 ? at : -1
}

const afterDollarQuote = (text: string, start: number, tag: string) => {
  const end = text.indexOf(tag, start + tag.length)
  return end === -1 ? text.length : end + tag.length
}

const afterIdentifier = (text: string, start: number) => {
  let at = start + 1
  while (at < text.length && identifierPart.test(text.charAt(at))) at += 1
  return at
}

/** Tells whether a statement is a routine whose body may be `begin atomic … end`, and how deep in it we are. */
class RoutineBody {
  private words: Array<string> = []
  private depth = 0

  word(word: string) {
    if (this.words.length < 4) this.words.push(word)
    const [first, ...rest] = this.words
    const isRoutine = first === "create" && rest.some((word) => word === "function" || word === "procedure")
    if (!isRoutine) return
    if (word === "begin") this.depth += 1
    else if (word === "case" && this.depth > 0) this.depth += 1
    else if (word === "end" && this.depth > 0) this.depth -= 1
  }

  get isOpen() {
    return this.depth > 0
  }
}

/** The statements of a script in order, without their semicolons. Empty ones and mere comments are left out. */
export const statements = (text: string): ReadonlyArray<string> => {
  const found: Array<string> = []
  let start = 0
  let at = 0
  let parentheses = 0
  let hasCode = false
  let body = new RoutineBody()

  const finish = (end: number) => {
    if (hasCode) found.push(text.slice(start, end).trim())
    start = end + 1
    parentheses = 0
    hasCode = false
    body = new RoutineBody()
  }

  while (at < text.length) {
    const char = text.charAt(at)
    if (text.startsWith("--", at)) {
      at = afterLineComment(text, at)
      continue
    }
    if (text.startsWith("/*", at)) {
      const end = afterBlockComment(text, at)
      hasCode ||= end === -1
      at = end === -1 ? text.length : end
      continue
    }
    if (char === ";" && parentheses === 0 && !body.isOpen) {
      finish(at)
      at += 1
      continue
    }
    hasCode ||= !blank.test(char)
    dollarTag.lastIndex = at
    const tag = char === "$" ? dollarTag.exec(text)?.[0] : undefined
    if (tag !== undefined) {
      at = afterDollarQuote(text, at, tag)
    } else if (char === "'" || char === '"') {
      at = afterQuote(text, at, char, false)
    } else if (identifierStart.test(char)) {
      const end = afterIdentifier(text, at)
      const word = text.slice(at, end).toLowerCase()
      body.word(word)
      at = word === "e" && text[end] === "'" ? afterQuote(text, end, "'", true) : end
    } else {
      if (char === "(") parentheses += 1
      if (char === ")" && parentheses > 0) parentheses -= 1
      at += 1
    }
  }
  finish(text.length)
  return found
}

/** The first word of a statement, in lower case, past the comments before it. */
export const keyword = (statement: string): string => {
  let at = 0
  while (at < statement.length) {
    if (statement.startsWith("--", at)) {
      at = afterLineComment(statement, at)
    } else if (statement.startsWith("/*", at)) {
      const end = afterBlockComment(statement, at)
      if (end === -1) return ""
      at = end
    } else if (blank.test(statement.charAt(at))) {
      at += 1
    } else {
      return (/^[a-z]+/i.exec(statement.slice(at))?.[0] ?? "").toLowerCase()
    }
  }
  return ""
}
