"""Building, describing and deploying a function app; never part of the app itself."""
