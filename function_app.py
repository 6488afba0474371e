import ostinato_azure
from orchestrations import app as ostinato_app

app = ostinato_azure.function_app(ostinato_app)
