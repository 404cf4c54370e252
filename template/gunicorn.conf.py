# :: include "template/uvicorn.conf.py"
