/**
 * What catalogues of platforms, and the bills that follow from them, call the service and its plans. It never changes, and an operator's own plan has an id
 * as well.
 */
import { guidOfName } from '../registry/guid.ts'

export function serviceIdOf(serviceName: string): string {
  return guidOfName(`service ${serviceName}`)
}

export function planIdOf({ serviceName, plan }: { serviceName: string; plan: string }): string {
  return guidOfName(`plan ${serviceName} ${plan}`)
}
