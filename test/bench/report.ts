import type { Matrix } from './side-by-side/matrix.ts'

/** What a question answers: rows of figures, and what was promised of them. */
export type Row = { name: string; value: number; unit: string; spread?: [number, number]; note?: string }

/** `target` is what the issue asks for; `isMet` null: it could not be judged in this run, and `note` says why. */
export type Verdict = { claim: string; value: number; target: string; isMet: boolean | null; note?: string }

export type Report = {
  question: string
  about: string
  rows: Row[]
  verdicts: Verdict[]
  notRun?: string[]
  /** For a question that has a table for each work. */
  matrix?: Matrix
}

export function number(value: number): string {
  if (!Number.isFinite(value)) return '–'
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en-US')
  return Number(value.toPrecision(3)).toString()
}

export function spreadOf(values: readonly number[]): [number, number] {
  return [Math.min(...values), Math.max(...values)]
}
