/** Long work as it is told: on a terminal one line that is written anew, elsewhere a line for what has been done and nothing for what is under way. */
import { stripVTControlCharacters } from 'node:util'

export type Progress = {
  say(text: string): void
  update(text: string): void
  /** Nothing is left on the line. */
  done(): void
}

/** On standard error, so that results can be piped. */
export function progressOn(stream: NodeJS.WriteStream): Progress {
  let shown = ''
  const clear = () => {
    if (shown !== '') stream.write('\r\u001b[2K')
    shown = ''
  }
  return {
    say(text) {
      clear()
      stream.write(`${text}\n`)
    },
    update(text) {
      if (!stream.isTTY || text === shown) return
      clear()
      // Longer than the line it could not be taken back.
      shown = stripVTControlCharacters(text).slice(0, Math.max(20, stream.columns - 1))
      stream.write(shown)
    },
    done: clear,
  }
}
