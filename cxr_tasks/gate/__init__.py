"""May this candidate serve? Its numbers against the policy, and against the champion."""
