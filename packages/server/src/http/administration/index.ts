/** Everything about who may do what. */
import { credentialRoutes } from './credentials.ts'
import { instanceRoutes } from './instances.ts'
import { permissionRoutes } from './permissions.ts'

export const administrationRoutes = [...instanceRoutes, ...credentialRoutes, ...permissionRoutes]
