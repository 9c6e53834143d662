/**
 * The lines of a file of JSON documents, one a line. Not those of `node:readline`: to that the separators U+2028 and U+2029 end a line too, and JSON lets
 * them stand in a text as they are.
 */
export async function* linesOf(chunks: AsyncIterable<string>): AsyncGenerator<string> {
  let rest = ''
  for await (const chunk of chunks) {
    const lines = chunk.split('\n')
    lines[0] = rest + lines[0]
    rest = lines.pop() ?? ''
    for (const line of lines) yield withoutReturn(line)
  }
  if (rest !== '') yield withoutReturn(rest)
}

/** JSON writes it as an escape: at the end of a line it was put in with the line's end, by a transfer. */
function withoutReturn(line: string): string {
  return line.endsWith('\r') ? line.slice(0, -1) : line
}
