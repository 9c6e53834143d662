export const root: string
export const nodeFlags: string[]
export function findNode(): string
