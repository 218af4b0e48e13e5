/** Starts the pages. */

import { render } from 'preact'
import { App } from './app.tsx'
import { startRouter } from './router.tsx'
import { startTheme } from './theme.ts'
import './styles/base.css'
import './styles/parts.css'

startTheme()
startRouter()
const root = document.getElementById('app')
if (root !== null) render(<App />, root)
